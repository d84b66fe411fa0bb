-- For every script: ARGV[1] is the prefix of all keys.
local P = ARGV[1]

-- Fails on a server that has become a replica. Changes nothing: no record has this field.
local function guard(record)
  redis.call('HDEL', record, '')
end

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
  redis.call('DEL', key)
  if not account then
    return 0
  end
  redis.call('ZREM', index_key(account), 'p:' .. hash)
  return 1
end

-- The branches of a session: a list of members, each "hash tree app".
local function branches_key(root)
  return P .. ':k:' .. root
end

local function branch_of(member)
  return string.sub(member, 1, 64)
end

-- Ends a session with its branches. A branch ends its root, and with it the other branches.
local function end_session(hash)
  local key = P .. ':s:' .. hash
  local root = redis.call('HGET', key, 'root')
  if root then
    redis.call('DEL', key)
    hash = root
    key = P .. ':s:' .. hash
  end
  local known = redis.call('HMGET', key, 'account', 'id')
  redis.call('DEL', key)
  for _, member in ipairs(redis.call('LRANGE', branches_key(hash), 0, -1)) do
    redis.call('DEL', P .. ':s:' .. branch_of(member))
  end
  redis.call('DEL', branches_key(hash))
  if not known[1] then
    return 0
  end
  redis.call('DEL', P .. ':i:' .. known[2])
  redis.call('ZREM', index_key(known[1]), 's:' .. hash)
  return 1
end

-- Adds a record to its group, a sorted set by expiry, and removes the oldest records beyond `most`. The keys of
-- records are `records` and the id. Returns the ids of the removed ones.
local function join(group, records, id, now, expires, ms, most)
  redis.call('ZREMRANGEBYSCORE', group, '-inf', now)
  redis.call('ZADD', group, expires, id)
  redis.call('PEXPIRE', group, ms)
  local over = redis.call('ZCARD', group) - tonumber(most)
  local removed = over > 0 and redis.call('ZRANGE', group, 0, over - 1) or {}
  for _, oldest in ipairs(removed) do
    redis.call('DEL', records .. oldest)
    redis.call('ZREM', group, oldest)
  end
  return removed
end

-- Returns true if a pending login exists and has not expired by `now`.
local function pending(hash, now)
  local expires = redis.call('HGET', P .. ':p:' .. hash, 'expires')
  return expires and tonumber(expires) > tonumber(now)
end

-- Returns the fields of a session as the gate reads them, or false if there is none. A branch has the
-- fields of its root. Its own follow: hash of the root's token, tree, app, proofs.
local function fields_of(hash)
  local key = P .. ':s:' .. hash
  local branch = redis.call('HMGET', key, 'root', 'tree', 'app', 'proofs')
  if branch[1] then
    key = P .. ':s:' .. branch[1]
  end
  local found = redis.call('HMGET', key, 'record', 'seen', 'due', 'authenticator', 'recovery_codes', 'changes')
  if not found[1] and not branch[1] then
    return false
  end
  return {found[1], found[2], found[3], found[4], found[5], found[6], branch[1], branch[2], branch[3], branch[4]}
end

