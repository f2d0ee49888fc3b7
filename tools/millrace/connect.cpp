#include "tools/millrace/connect.hpp"

#include <utility>

#include "tools/millrace/exit.hpp"

namespace millrace::cli {

std::unique_ptr<Bus> connect(const BusOptions& options) {
  auto bus = Bus::connect(options);
  if (bus) return std::move(*bus);
  static_cast<void>(complain(bus.error()));
  return nullptr;
}

}  // namespace millrace::cli
