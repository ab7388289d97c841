-- Parses the changes, which begin at ARGV[at], into `changes`, the `names` of all fields to load (four
-- reserved ones first), and the session's new `limits`.
local changes, names, limits = {}, {'\0m', '\0s', '\0i', '\0t'}, nil
while at <= #ARGV do
  local kind = ARGV[at]
  local change = {kind = kind, place = at + 1}
  if kind == 'L' then
    limits = {tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])}
  else
    changes[#changes + 1] = change
    if kind ~= 'T' and kind ~= 'N' then
      names[#names + 1] = ARGV[at + 1]
      change.name = #names
    end
  end
  if kind == 's' then at = at + 4
  elseif kind == 'A' then at = at + 5
  elseif kind == 'D' or kind == 'X' then at = at + 2
  else at = at + 3 end
  if kind == 'N' then at = at + tonumber(ARGV[change.place + 1]) end
end
