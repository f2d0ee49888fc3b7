#include "wal/fault_file_system.hpp"

#include <algorithm>

namespace millrace::wal {
namespace {
constexpr std::uint64_t block_size = 4096;
}

class FaultFile final : public File {
 public:
  FaultFile(FaultFileSystem& files, std::shared_ptr<FaultFileSystem::Inode> inode)
      : files_(files), inode_(std::move(inode)), generation_(files.generation_) {}
  ~FaultFile() override { unlock(); }

  Result<std::size_t> pread(std::span<std::byte> into, std::uint64_t at) override {
    MILLRACE_TRY(alive("read"));
    if (at >= inode_->data.size()) return std::size_t{0};
    const std::size_t size = std::min<std::uint64_t>(into.size(), inode_->data.size() - at);
    std::copy_n(inode_->data.begin() + static_cast<std::ptrdiff_t>(at), size, into.begin());
    files_.bytes_read_ += size;
    return size;
  }

  Result<std::size_t> pwrite(Bytes head, Bytes body, std::uint64_t at) override {
    std::vector<std::byte> bytes(head.begin(), head.end());
    bytes.insert(bytes.end(), body.begin(), body.end());
    const Status status = alive("write");
    if (!status) {
      if (generation_ == files_.generation_) put(Bytes(bytes).first(bytes.size() / 2), at);
      return fail(status.error());
    }
    const std::size_t size = files_.short_writes_ ? (bytes.size() + 1) / 2 : bytes.size();
    put(Bytes(bytes).first(size), at);
    return size;
  }

  Status sync() override {
    const Status status = alive("sync");
    if (generation_ != files_.generation_) return status;
    if (!status) {
      for (auto& [block, history] : inode_->dirty) inode_->lost.emplace(block, std::move(history.front()));
    } else {
      inode_->synced_size = inode_->data.size();
    }
    inode_->dirty.clear();
    return status;
  }

  Status allocate(std::uint64_t size) override {
    MILLRACE_TRY(alive("reserve space"));
    if (inode_->data.size() < size) inode_->data.resize(size);
    return {};
  }

  Status discard(std::uint64_t from) override {
    MILLRACE_TRY(alive("give back space"));
    if (from < inode_->data.size()) put(std::vector<std::byte>(inode_->data.size() - from), from);
    return {};
  }

  Result<std::uint64_t> size() override {
    MILLRACE_TRY(alive("stat"));
    return inode_->data.size();
  }

  Result<bool> try_lock(LockMode mode) override {
    MILLRACE_TRY(alive("lock"));
    unlock();
    if (inode_->exclusive || (mode == LockMode::exclusive && inode_->shared > 0)) return false;
    if (mode == LockMode::exclusive) {
      inode_->exclusive = true;
    } else {
      ++inode_->shared;
    }
    locked_ = mode;
    return true;
  }

  void unlock() override {
    if (!locked_ || generation_ != files_.generation_) return;
    if (*locked_ == LockMode::exclusive) {
      inode_->exclusive = false;
    } else {
      --inode_->shared;
    }
    locked_.reset();
  }

  int native_fd() const override { return -1; }

 private:
  Status alive(const char* what) {
    if (generation_ != files_.generation_) return fail(ErrorCode::io_failed, "the machine crashed");
    return files_.operation(what);
  }

  void put(Bytes bytes, std::uint64_t at) {
    auto& data = inode_->data;
    if (bytes.empty()) return;
    if (data.size() < at + bytes.size()) data.resize(at + bytes.size());
    for (std::uint64_t block = at / block_size; block <= (at + bytes.size() - 1) / block_size; ++block) {
      auto& history = inode_->dirty[block];
      const auto lost = inode_->lost.find(block);
      if (lost != inode_->lost.end()) {
        history.push_back(std::move(lost->second));
        inode_->lost.erase(lost);
      } else {
        const auto begin = std::min<std::uint64_t>(block * block_size, data.size());
        const auto end = std::min<std::uint64_t>(begin + block_size, data.size());
        history.emplace_back(data.begin() + static_cast<std::ptrdiff_t>(begin),
                             data.begin() + static_cast<std::ptrdiff_t>(end));
      }
    }
    std::copy(bytes.begin(), bytes.end(), data.begin() + static_cast<std::ptrdiff_t>(at));
  }

  FaultFileSystem& files_;
  std::shared_ptr<FaultFileSystem::Inode> inode_;
  std::uint64_t generation_;
  std::optional<LockMode> locked_;
};

void FaultFileSystem::fail_at(std::uint64_t operation, ErrorCode code, bool forever) {
  operations_ = 0;
  fail_at_ = operation;
  code_ = code;
  forever_ = forever;
  failed_ = false;
}

void FaultFileSystem::heal() {
  fail_at_.reset();
}

Status FaultFileSystem::operation(const char* what) {
  const std::uint64_t number = operations_++;
  if (!fail_at_ || number < *fail_at_ || (number > *fail_at_ && !forever_)) return {};
  failed_ = true;
  return fail(code_, std::string("injected failure: ") + what);
}

void FaultFileSystem::change(const std::string& folder, std::function<void(Entries&)> apply) {
  apply(entries_);
  changes_.push_back({folder, std::move(apply)});
}

void FaultFileSystem::crash(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  ++generation_;
  for (const Change& change : changes_) {
    if (random() % 2 == 0) change.apply(synced_entries_);
  }
  changes_.clear();
  entries_ = synced_entries_;
  for (auto& [path, inode] : entries_) {
    if (!inode) continue;
    const auto restore = [&inode = inode](std::uint64_t block, const Block& content) {
      const std::uint64_t begin = block * block_size;
      for (std::uint64_t i = 0; i < block_size && begin + i < inode->data.size(); ++i) {
        inode->data[begin + i] = i < content.size() ? content[i] : std::byte{0};
      }
    };
    for (const auto& [block, history] : inode->dirty) {
      const std::uint64_t version = random() % (history.size() + 1);
      if (version < history.size()) restore(block, history[version]);
    }
    for (const auto& [block, content] : inode->lost) restore(block, content);
    if (random() % 2 == 0) inode->data.resize(std::max<std::uint64_t>(inode->synced_size, inode->data.size() / 2));
    inode->dirty.clear();
    inode->lost.clear();
    inode->synced_size = inode->data.size();
    inode->shared = 0;
    inode->exclusive = false;
  }
}

std::vector<std::byte>* FaultFileSystem::bytes_of(const std::string& path) {
  const auto found = entries_.find(path);
  return found == entries_.end() || !found->second ? nullptr : &found->second->data;
}

Result<std::unique_ptr<File>> FaultFileSystem::open(const std::string& path, OpenMode) {
  MILLRACE_TRY(operation("open"));
  const auto found = entries_.find(path);
  if (found == entries_.end() || !found->second) return fail(ErrorCode::not_found, "there is no file " + path);
  return std::make_unique<FaultFile>(*this, found->second);
}

Result<std::unique_ptr<File>> FaultFileSystem::create(const std::string& path) {
  MILLRACE_TRY(operation("create"));
  const auto found = entries_.find(path);
  std::shared_ptr<Inode> inode = found == entries_.end() ? nullptr : found->second;
  if (inode) {
    inode->data.clear();  // at once and for good: harsher than a kernel
    inode->dirty.clear();
    inode->lost.clear();
    inode->synced_size = 0;
  } else {
    inode = std::make_shared<Inode>();
    change(parent_of(path), [path, inode](Entries& entries) { entries[path] = inode; });
  }
  return std::make_unique<FaultFile>(*this, inode);
}

Status FaultFileSystem::rename(const std::string& from, const std::string& to) {
  MILLRACE_TRY(operation("rename"));
  const auto found = entries_.find(from);
  if (found == entries_.end()) return fail(ErrorCode::not_found, "there is no file " + from);
  // By inode: the create of `from` may not have reached the disk, the rename takes the file along.
  change(parent_of(to), [from, to, inode = found->second](Entries& entries) {
    if (const auto old = entries.find(from); old != entries.end() && old->second == inode) entries.erase(old);
    entries[to] = inode;
  });
  return {};
}

Status FaultFileSystem::unlink(const std::string& path) {
  MILLRACE_TRY(operation("delete"));
  if (!entries_.contains(path)) return fail(ErrorCode::not_found, "there is no file " + path);
  change(parent_of(path), [path](Entries& entries) { entries.erase(path); });
  return {};
}

Status FaultFileSystem::make_folder(const std::string& path) {
  MILLRACE_TRY(operation("make a folder"));
  if (!entries_.contains(path)) change(parent_of(path), [path](Entries& entries) { entries[path] = nullptr; });
  return {};
}

Status FaultFileSystem::sync_folder(const std::string& path) {
  MILLRACE_TRY(operation("sync a folder"));
  std::erase_if(changes_, [&](const Change& change) {
    if (change.folder != path) return false;
    change.apply(synced_entries_);
    return true;
  });
  return {};
}

Result<std::vector<std::string>> FaultFileSystem::list(const std::string& folder) {
  MILLRACE_TRY(operation("list"));
  std::vector<std::string> names;
  for (const auto& [path, inode] : entries_) {
    if (inode && parent_of(path) == folder) names.push_back(path.substr(folder.size() + 1));
  }
  return names;
}

}  // namespace millrace::wal
