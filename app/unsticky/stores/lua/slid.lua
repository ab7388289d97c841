-- Slides the idle limit if `slides`; `slid` says whether it did. This is `slide` without a function.
local slid = 0
if slides then
  local ttl, step, left = idle, math.floor(idle / 20), nil
  if unused < idle and now - last < unused then
    local apart = math.min(60000, math.floor(unused / 4))
    if not seen or now - last < apart or last - tonumber(sub(birth, 10, 22)) < apart then
      left = redis.call('PTTL', key)
      ttl, step = math.min(idle, math.max(unused, left)), apart
    end
  end
  if ends_at > 0 and ends_at - now < ttl then ttl = math.max(ends_at - now, 1) end
  if not seen or now - last >= step or (left or redis.call('PTTL', key)) < ttl - step then
    redis.pcall('HSET', key, '\0s', string.format('%013.0f', now))
    redis.call('PEXPIRE', key, ttl)
    slid = 1
  end
end
