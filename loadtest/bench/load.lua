-- wrk's part: a random session for each request, read or add as the mode says.
-- Arguments: mode (read, add or mix), a file with one Cookie header a line.
local reads, adds, share = {}, {}, {read = 0, add = 100, mix = 20}

function init(arguments)
  local mode, file = arguments[1], arguments[2]
  share = share[mode]
  math.randomseed(1)
  local number = 0
  for cookie in io.lines(file) do
    number = number + 1
    reads[number] = wrk.format("GET", "/cart", {Host = "localhost", Cookie = cookie})
    adds[number] = wrk.format("POST", "/cart/items",
      {Host = "localhost", Cookie = cookie, ["Content-Type"] = "application/json"},
      '{"sku":"item-' .. (number % 8 + 1) .. '"}')
  end
end

function request()
  local session = math.random(#reads)
  if math.random(100) <= share then return adds[session] end
  return reads[session]
end

function done(summary, latency)
  local failed = summary.errors
  io.write(string.format(
    '\nresult {"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "failed": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3,
    failed.connect + failed.read + failed.write + failed.status + failed.timeout))
end
