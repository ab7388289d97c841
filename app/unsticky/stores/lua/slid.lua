-- Slides the idle limit if `slides`; `slid` says whether it did. This is `slide` without a function.
local APART_MS, slid = 60000, 0
if slides and (unused >= idle or now - last >= math.min(APART_MS, math.floor(unused / 4))) then
  local ttl, step = idle, math.floor(idle / 20)
  if not seen and unused < idle then ttl = math.min(idle, math.max(unused, redis.call('PTTL', key))) end
  if ends_at > 0 and ends_at - now < ttl then ttl = math.max(ends_at - now, 1) end
  if not seen or now - last >= step or redis.call('PTTL', key) < ttl - step then
    redis.pcall('HSET', key, '\0s', string.format('%013.0f', now))
    redis.call('PEXPIRE', key, ttl)
    slid = 1
  end
end
