#include "bus/daemon/log_schema.hpp"

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <iterator>

namespace millrace::daemon {

Status keep_schema(const std::string& folder, const schemas::EventType& type) {
  const std::string path = folder + "/" + std::string(type.name()) + ".bfbs";
  const auto* bytes = reinterpret_cast<const char*>(type.bfbs().data());
  const std::string wanted(bytes, type.bfbs().size());
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

}  // namespace millrace::daemon
