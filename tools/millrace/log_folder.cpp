#include "tools/millrace/log_folder.hpp"

#include <filesystem>
#include <vector>

#include "bus/daemon/config.hpp"
#include "bus/daemon/log_schema.hpp"
#include "schemas/families.hpp"

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

const schemas::EventType* LogTypes::find(EventTypeId id) {
  if (id < schemas::first_user_event_type) return registry_.find(id);
  const auto [place, is_new] = loaded_.try_emplace(id, nullptr);
  if (is_new) place->second = load(id);
  return place->second;
}

// A topic carries one type, so the one schema that is not a built-in type's is it.
const schemas::EventType* LogTypes::load(EventTypeId id) {
  std::vector<std::filesystem::path> schemas_there;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder_, error)) {
    if (entry.path().extension() != ".bfbs" || registry_.find(entry.path().stem().string()) != nullptr) continue;
    schemas_there.push_back(entry.path());
  }
  if (schemas_there.size() != 1) {
    problem_ = "event type " + std::to_string(static_cast<unsigned>(id)) + ": " + folder_ + " holds " +
               std::to_string(schemas_there.size()) + " schemas (*.bfbs) of users' types, one is wanted";
    return nullptr;
  }
  const auto& path = schemas_there.front();
  const auto names = daemon::kept_names(folder_, path.stem().string());
  const auto type = registry_.add_user_schema(path.stem().string(), id, path.string(),
                                              root_.empty() ? names.root : root_, names.key_field);
  if (type) return *type;
  problem_ = type.error().message;
  return nullptr;
}

}  // namespace millrace::cli
