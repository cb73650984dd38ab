"""Brings up what a configuration file describes, and looks at it. Stands on config, linux, machine."""
