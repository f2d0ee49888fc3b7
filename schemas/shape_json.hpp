// One value of a verified event as JSON; for what prints parts of events.
#pragma once

#include <string>

#include "schemas/table_access.hpp"

namespace millrace::schemas {

// `at`: of an inline value where it lies, else what its offset points to. `table`: who holds it, for scales and unions.
void append_json_value(const ValueShape& shape, Address at, Address table, std::string& out);

}  // namespace millrace::schemas
