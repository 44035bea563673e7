-- The smallest request there is: GET / on a kept connection.
-- wrk builds the request once from these, so Lua costs nothing per request.
wrk.method = "GET"
wrk.path = "/"
wrk.headers["Accept"] = "*/*"

-- One line that scripts/bench can read, after wrk's own report.
function done(summary, latency, requests)
  local seconds = summary.duration / 1e6
  local errors = summary.errors
  local faults = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format("row get %.0f %.0f %.0f %.0f %.0f %d %d\n",
    summary.requests / seconds, latency:percentile(50), latency:percentile(90),
    latency:percentile(99), latency.max, errors.status, faults))
end
