#include "bus/daemon/log_schema.hpp"

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <iterator>

namespace millrace::daemon {
namespace {

Status keep_file(const std::string& path, const std::string& wanted) {
  {
    std::ifstream in(path, std::ios::binary);
    if (in && std::string(std::istreambuf_iterator<char>(in), {}) == wanted) return {};
  }
  const std::string draft = path + ".new";
  std::ofstream out(draft, std::ios::binary | std::ios::trunc);
  out << wanted;
  out.close();
  if (!out || std::rename(draft.c_str(), path.c_str()) != 0) return fail_errno("cannot write " + path, errno);
  return {};
}

}  // namespace

Status keep_schema(const std::string& folder, const schemas::EventType& type) {
  const std::string path = folder + "/" + std::string(type.name());
  std::string names = "root " + std::string(type.root()) + "\n";
  if (!type.key_field().empty()) names += "key_field " + std::string(type.key_field()) + "\n";
  MILLRACE_TRY(keep_file(path + ".names", names));
  const auto* bytes = reinterpret_cast<const char*>(type.bfbs().data());
  return keep_file(path + ".bfbs", std::string(bytes, type.bfbs().size()));
}

SchemaNames kept_names(const std::string& folder, const std::string& type) {
  std::ifstream in(folder + "/" + type + ".names");
  SchemaNames names;
  std::string word, name;
  while (in >> word >> name) {
    if (word == "root") names.root = name;
    if (word == "key_field") names.key_field = name;
  }
  return names;
}

}  // namespace millrace::daemon
