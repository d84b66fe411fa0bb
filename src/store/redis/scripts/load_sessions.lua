local found = {}
for i = 2, #ARGV do
  found[i - 1] = fields_of(ARGV[i])
end
return found
