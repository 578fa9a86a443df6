"""What emkit refuses: one message with what was found, what was needed, where, what to do.

EmkitError
├── ParameterError    a value is not of its type, or breaks its bound
├── PathError         an input is missing or of another kind; an output cannot be made there
├── DataError         what only pixels tell: a file is cut short, holds NaN, or cannot be decoded
├── ResourceError     too little memory or disk for the plan
├── StreamError       a peer of a live stream does not answer, or answers what it must not
├── TaskError         tasks of a run failed, each tried three times; the others are done
└── DamagedError      what was written is not what its record says, or a repeated run gave something else

The command line ends with 3 on any of them, and with 4 on the last.
"""


class EmkitError(Exception):
    exit_code = 3


class ParameterError(EmkitError): ...


class PathError(EmkitError): ...


class DataError(EmkitError): ...


class ResourceError(EmkitError): ...


class StreamError(EmkitError): ...


class TaskError(EmkitError): ...


class DamagedError(EmkitError):
    exit_code = 4
