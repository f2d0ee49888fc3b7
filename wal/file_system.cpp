#include "wal/file_system.hpp"

#include <algorithm>

namespace millrace::wal {

Status write_all(File& file, Bytes head, Bytes body, std::uint64_t at) {
  while (!head.empty() || !body.empty()) {
    const auto written = file.pwrite(head, body, at);
    if (!written) return fail(written.error());
    if (*written == 0) return fail(ErrorCode::io_failed, "a write wrote nothing");
    at += *written;
    const std::size_t of_head = std::min(*written, head.size());
    head = head.subspan(of_head);
    body = body.subspan(*written - of_head);
  }
  return {};
}

Status replace_file(FileSystem& files, const std::string& folder, const std::string& name, const std::string& aside,
                    Bytes bytes) {
  {
    auto file = files.create(join(folder, aside));
    if (!file) return fail(file.error());
    MILLRACE_TRY(write_all(**file, bytes, {}, 0));
    MILLRACE_TRY((*file)->sync());
  }
  MILLRACE_TRY(files.rename(join(folder, aside), join(folder, name)));
  return files.sync_folder(folder);
}

Status make_folders(FileSystem& files, const std::string& path) {
  const std::string parent = parent_of(path);
  Status made = files.make_folder(path);
  if (!made && made.error().code == ErrorCode::not_found && parent != path) {
    MILLRACE_TRY(make_folders(files, parent));
    made = files.make_folder(path);
  }
  MILLRACE_TRY(made);
  return files.sync_folder(parent);
}

std::string join(const std::string& folder, const std::string& name) {
  return folder + "/" + name;
}

std::string parent_of(const std::string& path) {
  const auto slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace millrace::wal
