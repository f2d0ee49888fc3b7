# Boost.JSON, which Debian ships as headers to be compiled once: here, for whoever parses JSON.
find_package(Boost 1.81 REQUIRED)
if(NOT TARGET millrace_boost_json)
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/boost_json.cpp CONTENT "#include <boost/json/src.hpp>\n")
  add_library(millrace_boost_json STATIC ${CMAKE_BINARY_DIR}/generated/boost_json.cpp)
  target_link_libraries(millrace_boost_json PUBLIC Boost::headers)
  target_compile_options(millrace_boost_json PRIVATE ${MILLRACE_SANITIZE_FLAGS})
endif()
