"""Live scans over ZeroMQ: senders → aggregator → receivers that assemble, count and write → finaliser.

The protocol is in pure classes (`plan`, `messages`, `tally`, `assembly`, `sending`, `standing`, `routing`, `receiving`, `parts`,
`finalising`); sockets and processes are thin around them (`wire`, `keys`, `sender`, `aggregator`, `receiver`, `viewing`, `local`).
A `session` is all of it with one command: `driving` is its process, `crews` are its receivers, `trying` a phantom for it.
"""
