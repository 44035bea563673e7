-- A connection for each request: what accepting and closing cost.
-- wrk opens another when the proxy closes, as it must when it is asked to.
package.path = (os.getenv("BENCH_WRK") or "bench/wrk") .. "/?.lua;" .. package.path
local common = require("common")

wrk.path = "/"
wrk.headers["Connection"] = "close"

done = common.report("churn")
