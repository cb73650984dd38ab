"""The protocol of machines and their clients: a class for each request, a type for each answer, events.

The modules are those of the command line, so that a command imports what it needs and nothing else. To add an
operation, write a subclass of ``messages.MachineRequest`` here and a function in ``service.operations``.
"""
