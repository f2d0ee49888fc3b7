// A file system that counts what is read through it; else it is the one below.
#pragma once

#include <utility>

#include "wal/file_system.hpp"

namespace millrace::wal::testing {

class CountingFileSystem final : public FileSystem {
 public:
  explicit CountingFileSystem(FileSystem& below) : below_(below) {}

  struct Counts {
    std::size_t lists = 0;
    std::size_t opens = 0;
    std::size_t index_opens = 0;  // of the opens, those of a segment's index
    std::size_t reads = 0;
    std::size_t bytes = 0;
  };
  [[nodiscard]] const Counts& counts() const { return counts_; }
  void restart() { counts_ = {}; }

  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override {
    ++counts_.opens;
    if (path.ends_with(".idx")) ++counts_.index_opens;
    auto file = below_.open(path, mode);
    if (!file) return file;
    return std::make_unique<CountingFile>(counts_, std::move(*file));
  }
  Result<std::unique_ptr<File>> create(const std::string& path) override { return below_.create(path); }
  Status rename(const std::string& from, const std::string& to) override { return below_.rename(from, to); }
  Status unlink(const std::string& path) override { return below_.unlink(path); }
  Status make_folder(const std::string& path) override { return below_.make_folder(path); }
  Status sync_folder(const std::string& path) override { return below_.sync_folder(path); }
  Result<std::vector<std::string>> list(const std::string& folder) override {
    ++counts_.lists;
    return below_.list(folder);
  }

 private:
  class CountingFile final : public File {
   public:
    CountingFile(Counts& counts, std::unique_ptr<File> below) : counts_(counts), below_(std::move(below)) {}

    Result<std::size_t> pread(std::span<std::byte> into, std::uint64_t at) override {
      ++counts_.reads;
      auto got = below_->pread(into, at);
      if (got) counts_.bytes += *got;
      return got;
    }
    Result<std::size_t> pwrite(Bytes head, Bytes body, std::uint64_t at) override {
      return below_->pwrite(head, body, at);
    }
    Status sync() override { return below_->sync(); }
    Status allocate(std::uint64_t size) override { return below_->allocate(size); }
    Status discard(std::uint64_t from) override { return below_->discard(from); }
    Result<std::uint64_t> size() override { return below_->size(); }
    Result<bool> try_lock(LockMode mode) override { return below_->try_lock(mode); }
    void unlock() override { below_->unlock(); }
    int native_fd() const override { return -1; }  // what is read by a mapping would not be counted

   private:
    Counts& counts_;
    std::unique_ptr<File> below_;
  };

  FileSystem& below_;
  Counts counts_;
};

}  // namespace millrace::wal::testing
