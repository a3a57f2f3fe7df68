-- Takes from several buckets, from each or from none (generic cell rate algorithm).
-- KEYS: the buckets; each value is when its bucket is full again, in microseconds of this server's clock, which is the one
-- clock of all replicas. ARGV: for each bucket how long what is taken takes to come back, and how long all of it does, in
-- microseconds.
-- Returns the place of the bucket that takes longest to have enough, from 1, and how long that is; or 0 and 0.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local full_at, place, longest = {}, 0, 0
for i, key in ipairs(KEYS) do
  local taken, depth = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  -- no bucket is emptier than empty: the clock was set back, or the bucket made smaller
  local before = math.min(tonumber(redis.call('GET', key) or 0), now + depth)
  full_at[i] = math.max(before, now) + taken
  local wait = full_at[i] - now - depth
  if wait > longest then
    place, longest = i, wait
  end
end
if place == 0 then
  for i, key in ipairs(KEYS) do
    redis.call('SET', key, string.format('%.0f', full_at[i]), 'PX', math.ceil((full_at[i] - now) / 1000))
  end
end
return {place, longest}
