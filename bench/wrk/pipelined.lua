-- Eight requests at once on a connection, answered in order.
package.path = (os.getenv("BENCH_WRK") or "bench/wrk") .. "/?.lua;" .. package.path
local common = require("common")

function init(args)
  local eight = {}
  for at = 1, 8 do
    eight[at] = wrk.format("GET", "/")
  end
  request = common.take_in_turn({ table.concat(eight) })
end

done = common.report("pipelined", true)
