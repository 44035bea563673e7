-- A body of 16 KiB: with its head it is more than one read of 16 KiB, which is
-- where the size of a proxy's buffers begins to show.
wrk.method = "POST"
wrk.path = "/upload"
wrk.body = string.rep("x", 16 * 1024)
wrk.headers["Content-Type"] = "application/octet-stream"

-- One line that scripts/bench can read, after wrk's own report.
function done(summary, latency, requests)
  local seconds = summary.duration / 1e6
  local errors = summary.errors
  local faults = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format("row post %.0f %.0f %.0f %.0f %.0f %d %d\n",
    summary.requests / seconds, latency:percentile(50), latency:percentile(90),
    latency:percentile(99), latency.max, errors.status, faults))
end
