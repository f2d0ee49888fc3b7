# cmake -DFOLDER=page -DOUTPUT=page_files.cpp -P embed.cmake: writes the page's files as strings of a C++ source.
set(source "#include \"subscribers/realtime/page.hpp\"\n\nnamespace millrace::gateway {\n\nnamespace {\n")
foreach(file index.html app.js style.css)
  file(READ ${FOLDER}/${file} text)
  string(MAKE_C_IDENTIFIER ${file} name)
  string(APPEND source "constexpr std::string_view ${name} = R\"~~~(${text})~~~\";\n")
endforeach()
string(APPEND source "constexpr PageFile files[] = {
    {\"/\", \"text/html; charset=utf-8\", index_html},
    {\"/app.js\", \"text/javascript; charset=utf-8\", app_js},
    {\"/style.css\", \"text/css; charset=utf-8\", style_css},
};
}  // namespace

std::span<const PageFile> page_files() { return files; }

}  // namespace millrace::gateway
")
file(WRITE ${OUTPUT} "${source}")
