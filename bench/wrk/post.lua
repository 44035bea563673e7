-- A body of 16 KiB: with its head it is more than one read of 16 KiB, which is
-- where the size of a proxy's buffers begins to show.
package.path = (os.getenv("BENCH_WRK") or "bench/wrk") .. "/?.lua;" .. package.path
local common = require("common")

wrk.method = "POST"
wrk.path = "/upload"
wrk.body = string.rep("x", 16 * 1024)
wrk.headers["Content-Type"] = "application/octet-stream"

done = common.report("post")
