#include "bus/base/log.hpp"

#include <spdlog/async.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <memory>

namespace millrace {
namespace {

constexpr std::size_t queued_lines = 4096;

std::shared_ptr<spdlog::logger>& instance() {
  static std::shared_ptr<spdlog::logger> logger =
      std::make_shared<spdlog::logger>("millrace", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  return logger;
}

}  // namespace

void open_log(const std::string& program, const std::string& level) {
  spdlog::init_thread_pool(queued_lines, 1);
  instance() =
      std::make_shared<spdlog::async_logger>(program, std::make_shared<spdlog::sinks::stderr_sink_mt>(),
                                             spdlog::thread_pool(), spdlog::async_overflow_policy::overrun_oldest);
  const auto wanted = spdlog::level::from_str(level == "error" ? "err" : level);
  instance()->set_level(wanted == spdlog::level::off && level != "off" ? spdlog::level::info : wanted);
  instance()->set_pattern("%Y-%m-%dT%H:%M:%S.%e %n %l: %v");
}

void close_log() {
  instance() = std::make_shared<spdlog::logger>("millrace", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  spdlog::shutdown();
}

spdlog::logger& log() {
  return *instance();
}

}  // namespace millrace
