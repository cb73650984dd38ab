"""A machine that runs for others: its control socket, its sessions, its state. Stands on emulation, faces."""
