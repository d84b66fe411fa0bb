local found = redis.call('HMGET', P .. ':s:' .. ARGV[2], 'record', 'seen', 'due', 'authenticator', 'recovery_codes', 'changes')
if not found[1] then
  return false
end
return found
