-- The smallest request there is: GET / on a kept connection.
-- wrk builds the request once from these, so Lua costs nothing per request.
package.path = (os.getenv("BENCH_WRK") or "bench/wrk") .. "/?.lua;" .. package.path
local common = require("common")

wrk.path = "/"
wrk.headers["Accept"] = "*/*"

done = common.report("get")
