-- A thousand visitors, each with a cookie: what a sticky canary sees. The proxy
-- finds the cookie between two others, hashes it and sends each visitor to the
-- same version every time.
local requests = {}
local next = 0

-- Threads begin at different visitors, so that they do not march in step.
local threads = 0
function setup(thread)
  thread:set("first", threads * 251)
  threads = threads + 1
end

function init(args)
  next = first
  for visitor = 1, 1000 do
    local cookie = string.format("theme=dark; uid=u%05d; lang=en", visitor)
    requests[visitor] = wrk.format("GET", "/cart", { ["Cookie"] = cookie })
  end
end

function request()
  next = next % #requests + 1
  return requests[next]
end

-- One line that scripts/bench can read, after wrk's own report.
function done(summary, latency, requests)
  local seconds = summary.duration / 1e6
  local errors = summary.errors
  local faults = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format("row sticky-cookies %.0f %.0f %.0f %.0f %.0f %d %d\n",
    summary.requests / seconds, latency:percentile(50), latency:percentile(90),
    latency:percentile(99), latency.max, errors.status, faults))
end
