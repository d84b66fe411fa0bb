-- For every script: KEYS[1] is the guard key, already written; ARGV[1] is the prefix of all keys.
local P = ARGV[1]

local function index_key(account)
  return P .. ':a:' .. account
end

-- Adds to an account's index a member that lives for `ms` more, and removes expired members.
local function index(account, member, ms)
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  local key = index_key(account)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now - 60000)
  redis.call('ZADD', key, now + ms, member)
  if redis.call('PTTL', key) < ms then
    redis.call('PEXPIRE', key, ms)
  end
end

local function end_pending(hash)
  local key = P .. ':p:' .. hash
  local account = redis.call('HGET', key, 'account')
  if not account then
    return 0
  end
  redis.call('DEL', key)
  redis.call('ZREM', index_key(account), 'p:' .. hash)
  return 1
end

local function end_session(hash)
  local key = P .. ':s:' .. hash
  local known = redis.call('HMGET', key, 'account', 'id')
  if not known[1] then
    return 0
  end
  redis.call('DEL', key, P .. ':i:' .. known[2])
  redis.call('ZREM', index_key(known[1]), 's:' .. hash)
  return 1
end

-- Returns true if a pending login exists and has not expired by `now`.
local function pending(hash, now)
  local expires = redis.call('HGET', P .. ':p:' .. hash, 'expires')
  return expires and tonumber(expires) > tonumber(now)
end

