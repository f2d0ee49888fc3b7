#include "tools/millrace/log_folder.hpp"

#include <filesystem>

#include "bus/daemon/config.hpp"

namespace millrace::cli {

Result<std::string> find_log(const LogChoice& choice) {
  std::error_code ignored;
  if (std::filesystem::is_directory(choice.log, ignored)) return choice.log;
  if (choice.log.find('/') != std::string::npos) {
    return fail(ErrorCode::not_found, "there is no folder " + choice.log);
  }
  const auto config =
      choice.config.empty() ? Result<daemon::Config>(daemon::default_config()) : daemon::load_config(choice.config);
  if (!config) return fail(config.error());
  const std::string folder = config->log_dir + "/" + choice.log;
  if (std::filesystem::is_directory(folder, ignored)) return folder;
  return fail(ErrorCode::not_found, "topic '" + choice.log + "' has no log: there is no folder " + folder +
                                        "; give the folder, or the core's configuration with --config");
}

}  // namespace millrace::cli
