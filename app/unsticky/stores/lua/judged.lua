-- Goes on if `birth`, `seen` and `own` belong to a living session, with its idle limit in `idle`, its
-- absolute limit in `ends_at`, and its last use in `last`; otherwise returns the outcome. This is
-- `inspect` without functions: each run of a script creates its functions, a fifth of a read's time.
local version, idle, sub = string.sub(birth, 1, 1), tonumber(ARGV[1]), string.sub
if version == '' then return {9} end
if version ~= '1' then return {6, version} end
local last, ends_at = tonumber(seen or sub(birth, 10, 22)), tonumber(sub(birth, 23))
if #birth ~= 35 or not string.find(birth, '^%d+$', 10) or not last
    or (seen and string.find(seen, '%D')) or (own and (#own ~= 26 or string.find(own, '%D'))) then
  return {9}
end
if own then
  local limit = tonumber(sub(own, 1, 13))
  if limit > 0 then idle = limit end
end
if (ends_at > 0 and ends_at <= now) or now - last >= idle then return {1} end
