-- A thousand visitors, each with a cookie: what a sticky canary sees. The proxy
-- finds the cookie between two others, hashes it and sends each visitor to the
-- same version every time.
package.path = (os.getenv("BENCH_WRK") or "bench/wrk") .. "/?.lua;" .. package.path
local common = require("common")

setup = common.stagger

function init(args)
  local requests = {}
  for visitor = 1, 1000 do
    local cookie = string.format("theme=dark; uid=u%05d; lang=en", visitor)
    requests[visitor] = wrk.format("GET", "/cart", { ["Cookie"] = cookie })
  end
  request = common.take_in_turn(requests, first)
end

done = common.report("sticky-cookies")
