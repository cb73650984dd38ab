"""The root of every exception that apmatrix raises on purpose, and the tree below it.

    ApmatrixError                   one sentence: what was refused, which APQNs, who holds them, what to do
    ├── ProgramCheck                an AP instruction ended with a program interruption
    ├── Refused                     a system refused something; has the errno that programs see
    │   ├── BadValue                the text or value makes no sense there
    │   ├── TooLarge                a number of 2^64 or more
    │   ├── NoDevice                there is no such device, or it is not one for this driver
    │   ├── InUse                   something else holds it
    │   ├── Exists                  the name is taken
    │   ├── HostQueue               an APQN belongs to the host's own drivers
    │   ├── SharedQueue             an APQN belongs to another mdev
    │   ├── Interrupted             a signal ended a wait
    │   └── Failed                  anything else; the errno is given
    │       └── ReplyError          a card's reply is not an answer
    │           └── StatusError     the same for a CPRB; has the status that the program gets
    ├── CardError                   an adapter cannot be created or used as asked
    │   ├── RefusedMessage          a card refuses a malformed message; has the reply code
    │   ├── CcaError                a verb of CCA refuses its input; has return and reason code
    │   ├── Ep11Error               a function of EP11 refuses its arguments; has the return value
    │   ├── RequestError            on the sender's side: a card refused a request, or its reply makes no sense
    │   ├── AdministrationError     on the sender's side: a card refused an administrative command
    │   ├── SecureKeyError          on the sender's side: a card does not make or open a secure key
    │   ├── MasterKeyError          a register is not in the state that a command needs, or a key part is unfit
    │   ├── ProtectedKeyError       a protected key is under another wrapping key
    │   ├── VaultError              keys cannot be read or stored
    │   ├── FaultError              a fault is written wrongly, or is not active
    │   └── RecordingError          a record of traffic cannot be read
    ├── UnknownFeature              a QCI feature that does not exist
    ├── UnknownAdapter              the machine has no adapter of this number
    ├── UnknownLpar                 no LPAR of this name is active
    ├── UnknownPolicy               a Linux system has no policy of this name
    ├── UnknownRule                 the reference has no rule, vector or section of this name
    ├── AdapterRefused              an adapter's number is taken, or the machine has no such number
    ├── LparActive                  an LPAR of this name is already active
    ├── ProfileError                an activation profile does not fit the machine or another LPAR
    ├── ValidityInterception        a nested guest cannot be entered: its control block is wrong
    ├── Intercepted                 an AP instruction left SIE and nothing above handles it
    ├── ConfigError                 a configuration file cannot be used; has its findings
    ├── NotInFile                   a name that the file does not have, or has several times
    ├── UnreadableFact              a file of a Linux has a content that no Linux gives it
    ├── UnknownGuest                no guest or mdev of the machine has this name, or several have it
    ├── TestbedError                a record or a replay cannot be started, stopped or compared
    │   └── TestbedActive           it is already active, or it is not
    ├── KeysRefused                 a command about master keys was refused
    ├── UnknownName                 in Python: no system has this name, or several have it
    ├── NotRunning                  in Python: the system is not running
    ├── CannotRun                   in Python: no program can be run on the machine here
    ├── NotVirtual                  in Python: the machine's time is real, and cannot be advanced
    ├── ControlError                a machine refused a request, or cannot be reached; has the exit code
    ├── SandboxError                the computer does not allow what a sandbox needs
    │   └── LayerError              a directory cannot be covered by a layer
    ├── BootError                   a boot failed
    │   ├── PackageError            a Debian package, or the tool that fetches it, is not available
    │   ├── QemuError               QEMU is missing, did not start, or ended
    │   ├── KernelError             the kernel is not one whose AP instructions can be intercepted
    │   └── GuestError              the guest did not do what it was started for
    └── GdbError                    a debug connection failed
        ├── Disconnected            the peer closed the connection or is gone
        ├── NoAnswer                no answer within the time allowed; the peer may be alive
        ├── Garbled                 the peer does not speak the protocol
        ├── StubError               the peer answered with an error number
        ├── Unsupported             the peer does not know the command
        └── WrongState              a command for a stopped target while it is running, or the reverse

At a sysfs or ioctl edge they become the errno that the kernel gives, at the command line a sentence.
"""

from __future__ import annotations

from enum import IntEnum


class ApmatrixError(Exception):
    """Root of all intended errors; ``str()`` is a sentence for the user."""


class Interruption(IntEnum):
    """Program interruption codes that AP instructions can end with (hardware.md section 1)."""

    OPERATION = 0x0001
    PRIVILEGED_OPERATION = 0x0002
    PROTECTION = 0x0004
    ADDRESSING = 0x0005
    SPECIFICATION = 0x0006
    SEGMENT_TRANSLATION = 0x0010
    PAGE_TRANSLATION = 0x0011


class ProgramCheck(ApmatrixError):
    """An AP instruction ended with a program interruption; nothing was changed.

    ``code`` is the program-interruption code, ``reason`` says which rule was broken.
    """

    def __init__(self, code: Interruption, reason: str) -> None:
        super().__init__(f"program check {code:04x} ({code.name.lower().replace('_', ' ')}): {reason}")
        self.code = code
        self.reason = reason


class BadText(ValueError):
    """A text is not what it should be: ``message`` says what it is not, ``remedy`` what may be meant, if anything."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(f"{message}; {remedy}" if remedy else message)
        self.message = message
        self.remedy = remedy
