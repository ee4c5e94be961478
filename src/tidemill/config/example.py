"""The text of a new tidemill.toml: every setting, explained and commented out."""

from __future__ import annotations

EXAMPLE = """\
# tidemill.toml: every setting, with its default. Remove the # of what you want to change.

# The timezone in which hours, days, weeks and months are reported. Records are kept in UTC.
# timezone = "UTC"

# How much memory a command may use (default: 60 % of the machine, or of its control group), and how many threads.
# memory_limit = "8GB"
# threads = 2

# How long a command waits for another one that writes to the same home, before it gives up.
# lock_wait_seconds = 600.0

# What a power failure may lose: "none" waits for the disk only where the lake would not mend itself, and may lose the
# newest loads or snapshot; "fsync" waits until everything that a commit or a publish names is on the disk.
# durability = "none"

# Each source is a table of its own. `path` is a file, a folder or a glob, or a list of them, relative to this file.
# [sources.app]
# path = "raw/*.jsonl"
# record = "event"            # job, event or metric; leave out when each line has a field `record`
# format = "native"           # or a name in sql/records, or the path of a format's SQL file
# timezone = "UTC"            # of times that carry no offset
# timestamp = "2026-01-01"    # for records that have none
# id_prefix = "app-"          # put before ids that would collide with another source's
# max_expansion = 250         # a compressed file that becomes so many times its size, and over 64 MiB, is refused

# [windows]
# refresh_minutes = 60        # how old the end of a window table may be before it is built again

# [snapshots]
# keep = 5                    # published snapshots that are kept for readers that still use them

# [query]
# timeout_seconds = 600       # a reader's SQL that takes longer is ended; 0 is no limit

# What `tidemill serve` offers, and how much at once. A token is a file or a variable, never a setting.
# [serve]
# host = "127.0.0.1"          # any other needs a token, or --insecure
# port = 8000
# grpc_port = 50055
# sql = false                 # POST /api/v1/sql
# cors_origins = []           # pages of which other sites may ask: ["https://example.org"]
# cache_ttl = 10.0            # seconds for which an answer is kept that nobody asks for
# push_seconds = 10.0         # how often WebSocket clients are sent the newest, published or not
# timeout_seconds = 30.0      # an answer that takes longer is ended
# max_rows = 1000000          # of one answer
# max_request_bytes = 1048576
# max_requests = 100          # at the same time
# max_websockets = 2000       # clients at the same time

# How many seconds a function's call takes at most that counts as short (fast), medium or long.
# [functions]
# short_max = 2.0
# medium_max = 5.0
# long_max = 10.0

# What the documents of a knowledge base are taken to cost, and to save.
# [knowledge]
# cost_per_1k_tokens = 0.0001     # US dollars
# minutes_saved_per_document = 5.0

# A row of a table whose column is beyond a limit breaches a threshold: `build` says so, and `status` while it lasts.
# [thresholds.costly_user]
# table = "user_usage"
# column = "cost_usd"
# operator = ">"              # or >=, <, <=, =, !=; above, at least, below and at most are the first four
# limit = 50.0
# window = "24h"              # hours or days up to the build's moment; leave out for all rows of the table
# where = { user_id = "u1" }  # only rows whose columns equal that; leave out for all
"""
