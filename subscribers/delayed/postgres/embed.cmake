# cmake -DFOLDER=migrations -DFILES=a.sql,b.sql -DOUTPUT=embedded.cpp -P embed.cmake: writes the migrations as strings of
# a C++ source.
string(REPLACE "," ";" files "${FILES}")
set(source "#include \"subscribers/delayed/postgres/migrations.hpp\"\n\nnamespace millrace::delayed::postgres {\n\nnamespace {\nconstexpr Migration all[] = {\n")
foreach(file ${files})
  file(READ ${FOLDER}/${file} text)
  string(APPEND source "    {\"${file}\", R\"~~~(${text})~~~\"},\n")
endforeach()
string(APPEND source "};\n}  // namespace\n\nstd::span<const Migration> embedded_migrations() { return all; }\n\n}  // namespace millrace::delayed::postgres\n")
file(WRITE ${OUTPUT} "${source}")
