-- Requests over many routes and three sizes of response, in the proportions of a
-- shop: mostly small answers, some pages, now and then a picture.
package.path = (os.getenv("BENCH_WRK") or "bench/wrk") .. "/?.lua;" .. package.path
local common = require("common")

setup = common.stagger

function init(args)
  local requests = {}
  for item = 1, 1000 do
    local path = "/r" .. (item % 100) .. "/item/" .. item
    if item % 100 == 0 then
      path = "/b/102400" -- a picture
    elseif item % 10 == 0 then
      path = "/b/10240" -- a page
    end
    requests[item] = wrk.format("GET", path)
  end
  request = common.take_in_turn(requests, first)
end

done = common.report("mixed-routes")
