-- What the scripts share. wrk loads one file; `bench/wrk/run` says where this one lies.
local common = {}

-- Requests built once in `init` and taken in turn afterwards: to build a string for
-- each would make Lua the bottleneck.
function common.take_in_turn(requests, first)
  local next = (first or 0) % #requests
  return function()
    next = next % #requests + 1
    return requests[next]
  end
end

-- Threads begin at different places, so that they do not march in step.
local threads = 0
function common.stagger(thread)
  thread:set("first", threads * 251)
  threads = threads + 1
end

-- One line that `run` can read, after wrk's own report. Of a pipelined batch wrk times the
-- last answer alone and counts all of them, so its percentiles say nothing then.
function common.report(name, pipelined)
  return function(summary, latency, requests)
    local seconds = summary.duration / 1e6
    local errors = summary.errors
    local faults = errors.connect + errors.read + errors.write + errors.timeout
    local function at(percent)
      return pipelined and "-" or string.format("%.0f", latency:percentile(percent))
    end
    io.write(string.format("row %s %.0f %s %s %s %.0f %d %d\n", name, summary.requests / seconds,
      at(50), at(90), at(99), latency.max, errors.status, faults))
  end
end

return common
