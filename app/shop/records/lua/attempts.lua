-- KEYS: number of failures. ARGV: 'look', 'fail' or 'forget'; most; window (ms).
-- Returns how long to wait, in ms; 0 for not at all.
local step, most = ARGV[1], tonumber(ARGV[2])
if step == 'forget' then
  redis.call('DEL', KEYS[1])
  return 0
end
local count = tonumber(redis.call('GET', KEYS[1]) or '0')
if step == 'fail' then
  count = count + 1
  if count == 1 then
    redis.call('SET', KEYS[1], '1', 'PX', ARGV[3])
  else
    redis.call('INCR', KEYS[1])
  end
end
if count < most then return 0 end
return math.max(1, redis.call('PTTL', KEYS[1]))
