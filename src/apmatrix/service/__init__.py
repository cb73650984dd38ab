"""A machine that other programs use: its control socket, its sessions, its state. Uses emulation and faces."""
