// A file system that can be told to be read-only, or to hold every sync until told otherwise; else it is the one below.
#pragma once

#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "wal/file_system.hpp"

namespace millrace::wal::testing {

class MoodyFileSystem final : public FileSystem {
 public:
  explicit MoodyFileSystem(FileSystem& below) : below_(below) {}

  void make_read_only(bool on) { read_only_ = on; }
  // Any thread; turning it off lets the syncs go that wait.
  void make_syncs_block(bool on) {
    const std::lock_guard guard(mutex_);
    blocking_ = on;
    changed_.notify_all();
  }
  void wait_for_a_blocked_sync() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return blocked_ > 0; });
  }

  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override {
    if (mode == OpenMode::read_write) MILLRACE_TRY(writable(path));
    return wrap(below_.open(path, mode));
  }
  Result<std::unique_ptr<File>> create(const std::string& path) override {
    MILLRACE_TRY(writable(path));
    return wrap(below_.create(path));
  }
  Status rename(const std::string& from, const std::string& to) override {
    MILLRACE_TRY(writable(from));
    return below_.rename(from, to);
  }
  Status unlink(const std::string& path) override {
    MILLRACE_TRY(writable(path));
    return below_.unlink(path);
  }
  Status make_folder(const std::string& path) override { return below_.make_folder(path); }  // they are there
  Status sync_folder(const std::string& path) override { return below_.sync_folder(path); }
  Result<std::vector<std::string>> list(const std::string& folder) override { return below_.list(folder); }

 private:
  class MoodyFile final : public File {
   public:
    MoodyFile(MoodyFileSystem& files, std::unique_ptr<File> below) : files_(files), below_(std::move(below)) {}

    Result<std::size_t> pread(std::span<std::byte> into, std::uint64_t at) override { return below_->pread(into, at); }
    Result<std::size_t> pwrite(Bytes head, Bytes body, std::uint64_t at) override {
      MILLRACE_TRY(files_.writable("the file"));
      return below_->pwrite(head, body, at);
    }
    Status sync() override {
      files_.block();
      return below_->sync();
    }
    Status allocate(std::uint64_t size) override {
      MILLRACE_TRY(files_.writable("the file"));
      return below_->allocate(size);
    }
    Status discard(std::uint64_t from) override {
      MILLRACE_TRY(files_.writable("the file"));
      return below_->discard(from);
    }
    Result<std::uint64_t> size() override { return below_->size(); }
    Result<bool> try_lock(LockMode mode) override { return below_->try_lock(mode); }
    void unlock() override { below_->unlock(); }
    int native_fd() const override { return below_->native_fd(); }

   private:
    MoodyFileSystem& files_;
    std::unique_ptr<File> below_;
  };

  [[nodiscard]] Status writable(const std::string& path) const {
    if (read_only_) return fail_errno("cannot write " + path, EROFS);
    return {};
  }
  Result<std::unique_ptr<File>> wrap(Result<std::unique_ptr<File>> file) {
    if (!file) return file;
    return std::make_unique<MoodyFile>(*this, std::move(*file));
  }
  void block() {
    std::unique_lock lock(mutex_);
    ++blocked_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return !blocking_; });
    --blocked_;
  }

  FileSystem& below_;
  bool read_only_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool blocking_ = false;
  int blocked_ = 0;
};

}  // namespace millrace::wal::testing
