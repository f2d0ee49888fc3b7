#include "bus/log_schema.hpp"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <limits>

namespace millrace {
namespace {

constexpr std::string_view bfbs_ending = ".bfbs";
constexpr std::string_view names_ending = ".names";
constexpr std::string_view until_mark = "-until-";
constexpr std::size_t until_digits = 20;

std::optional<std::string> content_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(in), {});
}

// Under a name of its own first, so that nobody sees half of it.
Status keep_file(wal::FileSystem& files, const std::string& path, const std::string& wanted) {
  if (content_of(path) == wanted) return {};
  const std::string draft = path + ".new";
  auto file = files.create(draft);
  if (!file) return fail(file.error());
  MILLRACE_TRY(wal::write_all(**file, {}, std::as_bytes(std::span(wanted)), 0));
  MILLRACE_TRY((*file)->sync());
  return files.rename(draft, path);
}

std::string names_path(const std::string& bfbs_path) {
  return bfbs_path.substr(0, bfbs_path.size() - bfbs_ending.size()) + std::string(names_ending);
}

std::string archived_path(const std::string& folder, std::string_view type, Offset until) {
  std::string digits = std::to_string(until.value());
  digits.insert(0, until_digits - digits.size(), '0');
  return wal::join(folder, std::string(type) + std::string(until_mark) + digits + std::string(bfbs_ending));
}

KeptSchema parse_name(const std::string& folder, const std::string& name) {
  KeptSchema kept{name.substr(0, name.size() - bfbs_ending.size()), {}, wal::join(folder, name)};
  const std::string& stem = kept.type;
  if (stem.size() <= until_mark.size() + until_digits) return kept;
  const std::size_t mark = stem.size() - until_digits - until_mark.size();
  if (stem.compare(mark, until_mark.size(), until_mark) != 0) return kept;
  std::uint64_t until = 0;
  const char* const end = stem.data() + stem.size();
  const auto [stop, error] = std::from_chars(end - until_digits, end, until);
  if (error != std::errc() || stop != end) return kept;
  kept.until = Offset(until);
  kept.type.resize(mark);
  return kept;
}

}  // namespace

Result<std::vector<KeptSchema>> kept_schemas(wal::FileSystem& files, const std::string& folder) {
  const auto names = files.list(folder);
  if (!names) return fail(names.error());
  std::vector<KeptSchema> kept;
  for (const std::string& name : *names) {
    if (name.size() > bfbs_ending.size() && name.ends_with(bfbs_ending)) kept.push_back(parse_name(folder, name));
  }
  std::ranges::sort(kept, {}, [](const KeptSchema& each) {
    return std::pair(each.type, each.until.value_or(Offset(std::numeric_limits<std::uint64_t>::max())));
  });
  return kept;
}

SchemaNames kept_names(const KeptSchema& schema) {
  std::ifstream in(names_path(schema.path));
  SchemaNames names;
  std::string word, name;
  while (in >> word >> name) {
    if (word == "root") names.root = name;
    if (word == "key_field") names.key_field = name;
    if (word != "event_type") continue;
    std::uint16_t number = 0;
    const auto [stop, error] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (error == std::errc() && stop == name.data() + name.size()) names.event_type = EventTypeId{number};
  }
  return names;
}

Status keep_schema(wal::FileSystem& files, const std::string& folder, const schemas::EventType& type, Offset next) {
  const std::string bfbs(reinterpret_cast<const char*>(type.bfbs().data()), type.bfbs().size());
  std::string names = "root " + std::string(type.root()) + "\n";
  if (!type.key_field().empty()) names += "key_field " + std::string(type.key_field()) + "\n";
  names += "event_type " + std::to_string(static_cast<unsigned>(type.id())) + "\n";

  const std::string path = wal::join(folder, std::string(type.name()) + std::string(bfbs_ending));
  const auto before = content_of(path);
  if (before) {
    const SchemaNames named = kept_names({std::string(type.name()), {}, path});
    const bool same = *before == bfbs && named.root == type.root() && named.key_field == type.key_field();
    const auto kept = kept_schemas(files, folder);
    if (!kept) return fail(kept.error());
    // One that came into force where the log still ends never had an event.
    const bool has_events = next > Offset(0) && std::ranges::none_of(*kept, [&](const KeptSchema& each) {
                              return each.type == type.name() && each.until && *each.until >= next;
                            });
    if (!same && has_events) {
      const std::string archived = archived_path(folder, type.name(), next);
      MILLRACE_TRY(keep_file(files, names_path(archived), content_of(names_path(path)).value_or("")));
      MILLRACE_TRY(keep_file(files, archived, *before));
    }
  }
  MILLRACE_TRY(keep_file(files, names_path(path), names));
  MILLRACE_TRY(keep_file(files, path, bfbs));
  return files.sync_folder(folder);
}

}  // namespace millrace
