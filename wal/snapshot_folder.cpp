#include "wal/snapshot_folder.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <string_view>

namespace millrace::wal {
namespace {

constexpr std::string_view kSuffix = ".snapshot";
constexpr std::string_view kWrittenAside = ".snapshot.new";

// Names sort as their numbers do.
std::string name_of(std::uint64_t number) {
  std::array<char, 32> digits{};
  std::snprintf(digits.data(), digits.size(), "%020llu", static_cast<unsigned long long>(number));
  return digits.data() + std::string(kSuffix);
}

}  // namespace

Result<SnapshotFolder> SnapshotFolder::open(FileSystem& files, std::string folder) {
  MILLRACE_TRY(make_folders(files, folder));
  return SnapshotFolder(files, std::move(folder));
}

Result<std::vector<std::byte>> SnapshotFolder::read(const std::string& name) const {
  const auto file = files_->open(join(folder_, name), OpenMode::read);
  if (!file) return fail(file.error());
  const auto size = (*file)->size();
  if (!size) return fail(size.error());
  std::vector<std::byte> bytes(*size);
  const auto count = (*file)->pread(bytes, 0);
  if (!count) return fail(count.error());
  bytes.resize(*count);
  return bytes;
}

Result<bool> SnapshotFolder::newest(const Take& take, const OnRejected& on_rejected) {
  auto names = files_->list(folder_);
  if (!names) return fail(names.error());
  std::reverse(names->begin(), names->end());
  for (const auto& name : *names) {
    if (!name.ends_with(kSuffix)) continue;
    const auto bytes = read(name);
    const Status taken = bytes ? take(*bytes) : fail(bytes.error());
    if (taken) {
      good_ = name;
      return true;
    }
    on_rejected(join(folder_, name), taken.error());
  }
  return false;
}

Status SnapshotFolder::write(std::uint64_t number, std::span<const std::byte> bytes) {
  const auto name = name_of(number);
  const auto aside = name.substr(0, name.size() - kSuffix.size()) + std::string(kWrittenAside);
  MILLRACE_TRY(replace_file(*files_, folder_, name, aside, bytes));
  remove_others(name);
  good_ = name;
  return {};
}

void SnapshotFolder::remove_others(const std::string& newest) {
  const auto names = files_->list(folder_);
  if (!names) return;
  for (const auto& name : *names) {
    const bool ours = name.ends_with(kSuffix) || name.ends_with(kWrittenAside);
    if (ours && name != newest && name != good_) (void)files_->unlink(join(folder_, name));
  }
}

}  // namespace millrace::wal
