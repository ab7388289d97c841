-- The load of a benchmark by wrk: a random session for each request, which reads or adds a line.
-- Arguments: mode (read, add or mix), a file with one Cookie header a line, the path that shows the
-- cart, the path that adds to it, the skus with commas between, a seed.
local reads, adds, share = {}, {}, {read = 0, add = 100, mix = 20}
local skus = {}

function init(arguments)
  local mode, file, cart, items = arguments[1], arguments[2], arguments[3], arguments[4]
  for sku in string.gmatch(arguments[5], "[^,]+") do skus[#skus + 1] = sku end
  share = share[mode]
  math.randomseed(tonumber(arguments[6]))
  local number = 0
  for cookie in io.lines(file) do
    number = number + 1
    reads[number] = wrk.format("GET", cart, {Host = "localhost", Cookie = cookie})
    adds[number] = {}
    for place, sku in ipairs(skus) do
      adds[number][place] = wrk.format("POST", items,
        {Host = "localhost", Cookie = cookie, ["Content-Type"] = "application/json"},
        '{"sku":"' .. sku .. '"}')
    end
  end
end

function request()
  local session = math.random(#reads)
  if math.random(100) <= share then return adds[session][math.random(#skus)] end
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
