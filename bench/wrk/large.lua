-- A response of 1 MiB, many times what a proxy reads at once.
package.path = (os.getenv("BENCH_WRK") or "bench/wrk") .. "/?.lua;" .. package.path
local common = require("common")

wrk.path = "/b/1048576"

done = common.report("large")
