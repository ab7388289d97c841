-- Milliseconds of the epoch, by the server's clock: workers on several hosts share this one.
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
