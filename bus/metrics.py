"""Prometheus metrics, all of them, in one place: names start with ``lienthong_``, labels are bounded."""

from prometheus_client import Counter, Gauge, Histogram

LATENCY_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 3600)

published = Counter("lienthong_published_events_total", "Events acknowledged by Kafka.", ["register", "agency", "op"])
rows_read = Counter("lienthong_rows_read_total", "Rows of exports that were read.", ["register", "agency"])
rows_passed = Counter(
    "lienthong_rows_passed_total", "Rows of exports that may stand in the register.", ["register", "agency"]
)
refused = Counter(
    "lienthong_refused_rows_total", "Records refused before anything was sent.", ["register", "agency", "reason"]
)
cleaned = Counter(
    "lienthong_cleaned_values_total", "Values that a rule of cleaning changed.", ["register", "agency", "rule"]
)
doubted = Counter(
    "lienthong_doubted_values_total",
    "Values that went out and that somebody should look at.",
    ["register", "agency", "reason"],
)
runs = Counter(
    "lienthong_export_runs_total",
    "Runs over an export that were to send something, by outcome: done, or the reason why nothing more was sent.",
    ["register", "agency", "outcome"],
)
run_finished = Gauge(
    "lienthong_export_published_timestamp_seconds",
    "When a run last sent everything that its export says, in seconds since 1970.",
    ["register", "agency"],
)
inbox_files = Counter(
    "lienthong_inbox_files_total", "Files put away, by outcome: done, failed.", ["register", "outcome"]
)
inbox_waiting = Gauge("lienthong_inbox_waiting_files", "Files that lay in the inbox at the last look.", ["folder"])
publish_seconds = Histogram(
    "lienthong_publish_seconds", "From publish() to Kafka's acknowledgement.", ["register"], buckets=LATENCY_BUCKETS
)

consumed = Counter(
    "lienthong_consumed_events_total",
    "Records committed by a replica, by outcome: applied, superseded, stale, parked, tombstone, marker.",
    ["register", "outcome"],
)
parked = Gauge("lienthong_parked_events", "Events parked in the replica's database, by reason.", ["register", "reason"])
parked_waiting = Gauge(
    "lienthong_parked_waiting_events",
    "Those of them that the dead-letter topic does not have yet.",
    ["register", "reason"],
)
forwarded = Counter(
    "lienthong_forwarded_events_total", "Parked events that the dead-letter topic acknowledged.", ["register", "reason"]
)
paused = Gauge("lienthong_paused", "1 while a register stands still: as many parked events wait as may.", ["register"])
lag = Gauge("lienthong_lag_events", "Offsets between the replica's position and the last stable offset.", ["register"])
unstable = Gauge(
    "lienthong_open_transaction_events",
    "High watermark less last stable offset: what open transactions hide from every read_committed reader.",
    ["register"],
)
apply_seconds = Histogram(
    "lienthong_apply_seconds", "One database transaction of a replica.", ["register"], buckets=LATENCY_BUCKETS
)
latency_seconds = Histogram(
    "lienthong_latency_seconds",
    "From recorded_at to applied, newest event of each batch.",
    ["register"],
    buckets=LATENCY_BUCKETS,
)
ready = Gauge("lienthong_ready", "1 when the register is caught up and being followed.", ["register"])
fenced = Counter(
    "lienthong_fenced_writes_total", "Writes refused because a successor owns the partition.", ["register"]
)

outbox_unsent = Gauge("lienthong_outbox_unsent_rows", "Committed rows that wait to be sent.", ["register"])
outbox_oldest = Gauge("lienthong_outbox_oldest_unsent_seconds", "Age of the oldest of them; 0 without.", ["register"])
outbox_parked = Gauge("lienthong_outbox_parked_rows", "Rows that cannot be sent, kept with their reason.", ["register"])
outbox_strays = Gauge(
    "lienthong_outbox_stray_rows", "Rows that no relay takes: their aggregatetype is no topic.", ["agency"]
)
outbox_leading = Gauge("lienthong_outbox_leading", "1 while this relay sends, 0 while it stands by.", ["register"])
outbox_seconds = Histogram(
    "lienthong_outbox_transaction_seconds", "One Kafka transaction of a relay.", ["register"], buckets=LATENCY_BUCKETS
)
capture_lag = Gauge(
    "lienthong_capture_slot_lag_bytes", "Log that PostgreSQL keeps for the replication slot.", ["register"]
)
