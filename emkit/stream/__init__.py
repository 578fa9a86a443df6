"""Live scans over ZeroMQ: senders → aggregator → receivers that assemble, count and write → finaliser.

The protocol is in pure classes (`messages`, `assembly`, `sending`, `routing`, `receiving`, `parts`, `finalising`); sockets and
processes are thin around them (`wire`, `sender`, `aggregator`, `receiver`, `viewing`, `local`).
"""
