-- Requests over many routes and three sizes of response, in the proportions of a
-- shop: mostly small answers, some pages, now and then a picture.
--
-- The requests are built in `init` and only taken in turn afterwards: building a
-- string for each would make Lua the bottleneck.
local requests = {}
local next = 0

function init(args)
  for item = 1, 1000 do
    local path = "/r" .. (item % 100) .. "/item/" .. item
    if item % 100 == 0 then
      path = "/b/102400" -- a picture
    elseif item % 10 == 0 then
      path = "/b/10240" -- a page
    end
    requests[item] = wrk.format("GET", path)
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
  io.write(string.format("row mixed-routes %.0f %.0f %.0f %.0f %.0f %d %d\n",
    summary.requests / seconds, latency:percentile(50), latency:percentile(90),
    latency:percentile(99), latency.max, errors.status, faults))
end
