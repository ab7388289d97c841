-- Slides the idle limit if `slides`; `slid` says whether it did. This is `slide` without a function.
local slid = 0
if slides then
  local ttl, step = idle, math.floor(idle / 20)
  if ends_at > 0 and ends_at - now < ttl then ttl = math.max(ends_at - now, 1) end
  if not seen or now - last >= step or redis.call('PTTL', key) < ttl - step then
    redis.pcall('HSET', key, '\0s', string.format('%013.0f', now))
    redis.call('PEXPIRE', key, ttl)
    slid = 1
  end
end
