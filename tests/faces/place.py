"""A process in namespaces of its own with an emulated /sys, which runs what a test gives it."""

from __future__ import annotations

import functools
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from apmatrix.faces.fuse import mount
from apmatrix.faces.namespaces import device_directory
from apmatrix.faces.sysfs import SysfsFace
from apmatrix.service.protocol.lines import Lines

DIRECTORY = Path("/run/apmatrix/test")
AGENT = """
import json, os, socket, sys
from pathlib import Path
from apmatrix.faces.fuse import mount
from apmatrix.faces.namespaces import device_directory, enter
from apmatrix.service.protocol.lines import Lines
lines = Lines(socket.socket(fileno=int(sys.argv[1])))
sandbox = enter(Path("/run/apmatrix/test"))
lines.send(b"entered", sandbox.for_machine)
serves_devices = lines.receive() == b"served with devices"
sandbox.leave_to_machine()
mount.attach(sandbox.to_mount[0], "/sys")
if serves_devices:
    mount.attach(sandbox.to_mount[1], str(device_directory(sandbox.directory)))
if child := os.fork():
    sys.exit(os.wait()[1])
while code := lines.receive():
    names = {}
    try:
        exec(json.loads(code), names)
        result = names.get("result")
    except OSError as error:
        result = {"errno": error.errno}
    lines.send(json.dumps(result).encode())
"""


@functools.cache
def missing():
    """Why no emulated /sys can be mounted here; empty if it can."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse cannot be opened"
    done = subprocess.run(
        ["unshare", "-mn", "true"] if os.geteuid() == 0 else ["unshare", "-rmn", "true"], capture_output=True
    )
    return "" if done.returncode == 0 else f"no namespaces: {done.stderr.decode().strip()}"


class Place:
    """Serves ``sysfs`` to one such process; ``do`` runs code there and returns its ``result``."""

    def __init__(self, sysfs, settle=None, devices=None):
        """``devices`` makes the face of the device nodes of an open /dev and the path of their directory."""
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-c", AGENT, str(theirs.fileno())], pass_fds=[theirs.fileno()]
            )
        self.lines = Lines(ours)
        assert self.lines.receive() == b"entered"
        fuse, context, *self.others = self.lines.take_descriptors(7)
        mount.create(context, fuse)
        os.close(context)
        self.face = SysfsFace(sysfs, settle=settle)
        self.channel = self.face.serve(fuse, "test")
        if devices is not None:
            fuse, context, dev = self.others[0], self.others[1], self.others.pop()
            mount.create(context, fuse)
            os.close(context)
            del self.others[:2]
            self.devices = devices(dev, str(device_directory(DIRECTORY)))
            self.devices_channel = self.devices.serve(fuse, "test devices")
        self.lines.send(b"served" if devices is None else b"served with devices")

    def begin(self, code):
        """Start ``code``; :meth:`end` gives what it results in."""
        self.lines.send(json.dumps(code).encode())

    def end(self):
        """The result of what was begun; an OSError there is raised here."""
        line = self.lines.receive()
        assert line is not None, "the other process has ended"
        result = json.loads(line)
        if isinstance(result, dict) and set(result) == {"errno"}:
            raise OSError(result["errno"], os.strerror(result["errno"]))
        return result

    def do(self, code):
        """Run ``code`` and wait for it."""
        self.begin(code)
        return self.end()

    def evaluate(self, expression):
        """The value of an expression."""
        return self.do(f"import os\nresult = {expression}")

    def read(self, path):
        """A file's content."""
        return self.evaluate(f"open('/sys/{path}').read()")

    def write(self, path, data):
        """One write(2); the number of bytes taken."""
        return self.do(
            "import os\n"
            f"file = os.open('/sys/{path}', os.O_WRONLY)\n"
            f"try: result = os.write(file, {data!r})\n"
            "finally: os.close(file)"
        )

    def close(self):
        """End the process, and with it the mount."""
        if self.channel.ended.is_set():
            return
        self.lines.connection.close()
        self.process.wait()
        assert self.channel.ended.wait(10)
        for descriptor in self.others:
            os.close(descriptor)
